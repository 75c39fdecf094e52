"""Which limits hold for a call, how much of them is left, and which of them refuses first?"""
