/** Shows the service's OpenAPI document with Swagger UI. */

const swagger = /** @type {any} */ (window).SwaggerUIBundle;

swagger({ url: "/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });
