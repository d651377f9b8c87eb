SELECT c.* FROM {source} c JOIN shared_items i ON c.item_num = i.item_num
