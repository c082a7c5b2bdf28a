"""Has the data changed since the champion was trained?"""
