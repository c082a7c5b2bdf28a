"""Where labelled data comes from: rows of tables, images, datasets on the hub; what ingest and detect both read."""
