"""Run the network: crops in; heads, hair and landmarks out."""
