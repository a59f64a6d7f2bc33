"""A limit of concurrency that adapts to its server. Pure: the time is passed in, in seconds.

`limit` follows what calls tell, in three stages: `rising` until the server has shown what it bears,
`resting` under what a server has refused, `queueing` where a server lets calls wait instead.
"""
