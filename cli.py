from ftbnn_larq.cli import main

main()
