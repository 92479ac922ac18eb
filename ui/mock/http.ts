/** What every part of the mock gateway uses: errors of the contract, JSON answers, bodies. */

import type { IncomingMessage, ServerResponse } from "node:http";

const STATUS: Record<string, number> = {
  BadPath: 400,
  BadRequest: 400,
  Unauthenticated: 401,
  Forbidden: 403,
  NotFound: 404,
  Exists: 409,
  NotEmpty: 409,
  IsDirectory: 409,
  NotDirectory: 409,
  NotRegular: 409,
  Conflict: 409,
  Gone: 410,
  PreconditionFailed: 412,
  TooLarge: 413,
  Busy: 429,
  QuotaExceeded: 507,
  Internal: 500,
  Unreachable: 502,
  TimedOut: 504,
};

export class Fail extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }

  get status(): number {
    return STATUS[this.code] ?? 500;
  }
}

export interface Request {
  method: string;
  url: URL;
  incoming: IncomingMessage;
  answer: ServerResponse;
}

export function json(request: Request, value: unknown, status = 200): void {
  request.answer.writeHead(status, { "Content-Type": "application/json" });
  request.answer.end(JSON.stringify(value));
}

export function empty(request: Request, status = 204, headers: Record<string, string> = {}): void {
  request.answer.writeHead(status, headers);
  request.answer.end();
}

export async function body(request: Request): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request.incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export async function jsonBody<T>(request: Request): Promise<T> {
  try {
    return JSON.parse((await body(request)).toString()) as T;
  } catch {
    throw new Fail("BadRequest", "The body is no JSON.");
  }
}
