file "#{ENV['HOST_ROOT']}/etc/db.conf" do
  content "port = #{node['db']['port']}\n"
  mode '0600'
end

# Stands for a database that takes a moment to reload.
execute 'reload' do
  command 'sleep 1'
end
