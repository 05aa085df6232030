"""A client whose credentials are other ones when they are percent-encoded or decoded once too often."""

CLIENT, SECRET = "odd client/1+%", "a:b/c+d e%41f~'\"\\&=?#<>; more than 32 characters"
