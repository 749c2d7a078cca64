-- The stream that a consumer's cursor is of, wherever it is read: a cursor means nothing in another one.
ALTER TABLE rejot_data_store.consumer ADD COLUMN origin uuid;
