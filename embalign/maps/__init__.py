"""Map families behind one interface: what each fits, how it is chosen inside the training items, and files of it."""
