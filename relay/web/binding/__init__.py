"""How a user without a bot gets one: by saying a code, or by showing its QR code.

dialogue    what is said to whom, and in which order
attempts    how often a code may be tried
photo       a photo becomes the texts of its QR codes
decode      the program that looks at the photo, in a process of its own
fetch       a photo is loaded from where its URL says
addresses   which addresses may be asked for one
"""
