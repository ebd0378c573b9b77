from ftbnn_runtime.command import main

main()
