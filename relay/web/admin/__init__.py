"""What operators reach over HTTP: the admin API under `/admin/api`, and the page at `/admin`.

gate              who may call, `lockout` who tried too often, `sessions` who is logged in
problems          the errors that only HTTP has
schema            what the API takes, `schema_answers` what it answers, as types
operations        what an operation is: how a request is read, and an answer written
*_operations      what each does, on a `desk`; `export` and `live_feed` answer at length
catalog           every operation as data: the routes and the OpenAPI document are made from it
openapi           the document, and `reference` a page to read it
routes            the catalog on its paths
page*             the page
"""
