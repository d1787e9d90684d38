module podsonar.invalid/lab/image

go 1.24.0
