"""For all tests."""

import signal

# Whoever starts the tests in the background may have them ignore these, and all that the tests
# start would inherit that: Ctrl-C could not be tried.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
