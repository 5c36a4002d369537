import { z } from 'zod';
import { refusalBody } from '../../protocol/control-api.ts';
import type { RouteDescription } from './route.ts';

/** The OpenAPI 3.1 description of the control API, made from the schemas that every call is checked with. */
export function openApiOf(routes: readonly RouteDescription[], version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const url = route.url.replaceAll(/:(\w+)/g, '{$1}');
    paths[url] = { ...paths[url], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Lifeboat control API', version },
    components: { securitySchemes: { clientCertificate: { type: 'mutualTLS' } } },
    paths,
  };
}

function operationOf(route: RouteDescription): Record<string, unknown> {
  const isCommand = route.url.startsWith('/v1/commands/');
  const fromPath = [...route.url.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const key = {
    name: 'idempotency-key',
    in: 'header',
    required: true,
    schema: { type: 'string', minLength: 8, maxLength: 200 },
  };
  return {
    summary: route.summary,
    'x-access': route.access,
    security: route.access === 'anyone' ? [] : [{ clientCertificate: [] }],
    parameters: [...fromPath, ...queryParameters(route.query), ...(isCommand ? [key] : [])],
    ...(route.body === undefined
      ? {}
      : {
          requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(route.body, 'input') } } },
        }),
    responses: {
      '200': { description: 'What was asked for', content: contentOf(route.answer) },
      default: {
        description: 'A refusal',
        content: { 'application/json': { schema: jsonSchema(refusalBody, 'output') } },
      },
    },
  };
}

function queryParameters(query: z.ZodType | undefined) {
  if (query === undefined) return [];
  const properties = z
    .object({ properties: z.record(z.string(), z.unknown()) })
    .parse(jsonSchema(query, 'output')).properties;
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
}

function contentOf(answer: z.ZodType) {
  if (answer instanceof z.ZodCustom) return { 'image/png': { schema: { type: 'string', contentEncoding: 'binary' } } };
  return { 'application/json': { schema: jsonSchema(answer, 'output') } };
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): unknown {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: made }) => {
      // Ids are checked by a pattern of our own, which the schema cannot say.
      if (zodSchema._zod.def.type === 'custom') made.type = 'string';
    },
  });
  return rest;
}
