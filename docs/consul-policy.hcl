# What the agent on a node needs of Consul, and nothing more. Where the prefix
# in gurney.yml is not gurney/, change it here; for other apps than chef, or
# many, say event_prefix "" or name each.

# The record, the deployments, and who failed before this node.
key_prefix "gurney/" { policy = "read" }

# Results, and the marker of a failure by the release's fault.
key_prefix "gurney/results/" { policy = "write" }
key_prefix "gurney/failed/"  { policy = "write" }

# To be known as a node that obeys its apps, and as alive.
service "gurney" { policy = "write" }

# Only with role.service: the service that tells Chef's roles.
# service "role" { policy = "write" }

# Only with drain, and for gurney maint, bake and bootstrap: the node's own
# checks. Name the node, or take Consul's node identity, to be stricter.
# node_prefix "" { policy = "write" }

# The node's own name, its maintenance, and its services for selectors.
agent_prefix ""   { policy = "read" }
node_prefix ""    { policy = "read" }
service_prefix "" { policy = "read" }

# To hear of deployments: one line for each app.
event "chef" { policy = "read" }

# Only with report.dashboard: rows for consul-kv-dashboard.
# key_prefix "dashboard/" { policy = "write" }
