directory "#{ENV['HOST_ROOT']}/var/www" do
  recursive true
end

file "#{ENV['HOST_ROOT']}/var/www/index.html" do
  content "<h1>#{node['site']['title']}</h1>\n"
end

# Stands for a server that takes a moment to warm up.
execute 'warm up' do
  command 'sleep 1'
end
