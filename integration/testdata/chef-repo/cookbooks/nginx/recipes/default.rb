# The hosts of a page share one machine: HOST is where this one's / is.
directory "#{ENV['HOST']}/etc/nginx" do
  recursive true
end

file "#{ENV['HOST']}/etc/nginx/nginx.conf" do
  content "listen #{node['site']['port']} ssl; http2 on;\n"
end

execute 'nginx -t'
