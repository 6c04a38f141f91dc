cookbook_path File.expand_path('cookbooks', __dir__)
role_path File.expand_path('roles', __dir__)
