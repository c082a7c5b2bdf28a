"""What is fitted without gradient steps through a backbone: heads, words, gradients of pictures, and their sum."""
