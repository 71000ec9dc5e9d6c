"""Speed and accuracy of sharkpack beside llama.cpp on the same machine. Not part of the installed package."""
