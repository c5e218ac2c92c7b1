#!/bin/sh
# Ends as a crash does.
kill -SEGV $$
