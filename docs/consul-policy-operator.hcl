# What gurney deploy, retry, promote, abort, status, nodes and logs need of
# Consul: for people and build servers, not for nodes.

# Records, deployments and the lock of who drives; results, which it prunes.
key_prefix "gurney/" { policy = "write" }

# The session that holds the lock. Name the nodes that deployments are driven
# from to be stricter.
session_prefix "" { policy = "write" }

# The event that makes nodes look at once: one line for each app.
event "chef" { policy = "write" }

# The fleet.
node_prefix ""    { policy = "read" }
service_prefix "" { policy = "read" }

# Only for those who also take nodes into maintenance and out of it.
# node_prefix "" { policy = "write" }
