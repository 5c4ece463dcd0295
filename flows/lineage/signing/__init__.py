"""Sign the record, and hand it to somebody who has neither DVC nor goodfit."""
