# Read by steps that ask hosts with a password: what they are asked with, see amun/environments/logins.py. It is no part of the image.

export NETRC=/run/amun-logins/netrc GIT_TERMINAL_PROMPT=0
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=credential.helper GIT_CONFIG_VALUE_0="!/bin/sh $helpers/git-credential.sh"
