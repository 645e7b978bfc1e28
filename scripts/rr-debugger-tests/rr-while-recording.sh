#!/bin/bash
# rr, without options that its version may not know yet.
arguments=()
for argument in "$@"; do
  case $argument in
    --bind-to-cpu=any | --retry-transient-errors) ;;
    --check-cached-mmaps) ;; # is wrong about files of an overlay
    *) arguments+=("$argument") ;;
  esac
done
exec "$REAL_RR" "${arguments[@]}"
