// What the readers of operators share. Each sets what its kind of node needs, or gives false and says why.

#ifndef FTBNN_READING_H
#define FTBNN_READING_H

#include "node.h"

#define REFUSE(reason) return *why = (reason), false

// Whether a tensor of this type is made for each picture. The index may be any.
bool is_variable(const Tensors *tensors, int tensor, TfLiteType type);

bool is_packed(const Tensors *tensors, int tensor);

// Whether two maps have the same height and width.
bool same_map(Shape a, Shape b);

// Sets the window's padding. Whether the map that comes out is `out`.
bool window_fits(Window *w, TfLitePadding padding, Shape in, Shape out);

// LCE's operators.
bool read_bconv(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);
bool read_bmaxpool(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);
bool read_packing(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);

// TensorFlow Lite's.
bool read_prelu(const Tensors *tensors, const TfLiteNode *from, const char **why);
bool read_add(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);
bool read_mul(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);
bool read_joint(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);
bool read_slice(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);
bool read_conv(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);
bool read_dense(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);
bool read_pool(const Tensors *tensors, const TfLiteNode *from, Node *node, const char **why);

#endif
