"""The engine executes a plan.

A lane per member walks the rows at its own pace, a quota bounds the requests in flight, the one
retry loop acts on causes, and every outcome goes to the store. The running event loop is the only
clock: in a loop with virtual time the whole engine runs in virtual time.
"""
