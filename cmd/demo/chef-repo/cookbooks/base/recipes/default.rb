# The three hosts share one machine: what would be /etc is $HOST_ROOT/etc.
directory "#{ENV['HOST_ROOT']}/etc" do
  recursive true
end

file "#{ENV['HOST_ROOT']}/etc/motd" do
  content "#{node.name} runs release 1\n"
  mode '0644'
end
