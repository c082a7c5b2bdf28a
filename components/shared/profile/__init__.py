"""Looking at labelled data before anything is trained on it: columns, classes, lengths, pictures, what is odd."""
