"""What operators reach over HTTP: the admin API under `/admin/api`, and the page at `/admin`.

gate       who may call, `lockout` who tried too often
problems   the errors that only HTTP has
schema     what the API takes and answers, as types
catalog    every operation as data: the routes and the OpenAPI document are made from it
routes     the catalog as routes
"""
