name 'postgresql'
version '1.0.0'
