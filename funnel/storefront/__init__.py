"""The shop's pages: server-rendered, without JavaScript, on the same use cases as the API."""
