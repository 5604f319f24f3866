"""Signal handlers for all tests."""

import signal

# A shell that starts the tests in the background may make them ignore these signals. Every process
# that the tests start would inherit that, and Ctrl-C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
