/** What an import needs to know, and what can be said to be wrong before anybody is asked. */

import type { ImportRequest } from "../../api/types";
import { pathFromInput, pathProblem } from "../../lib/paths";

export interface Form {
  provider: "s3" | "r2";
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  region: string;
  endpoint: string;
  prefix: string;
  destination: string;
}

export type Problems = Partial<Record<keyof Form, string>>;

export const FIELDS: readonly (keyof Form)[] = [
  "endpoint",
  "bucket",
  "accessKeyId",
  "secretAccessKey",
  "region",
  "prefix",
  "destination",
];

export function problemsOf(form: Form): Problems {
  const problems: Problems = {};
  if (form.provider === "r2") Object.assign(problems, endpointProblem(form.endpoint));
  if (form.bucket.trim() === "") problems.bucket = "Enter the bucket's name.";
  else if (/[/:\s]/.test(form.bucket.trim()))
    problems.bucket = "Only the bucket's name, without address, path or spaces.";
  if (form.accessKeyId.trim() === "") problems.accessKeyId = "Enter the access key id.";
  if (form.secretAccessKey.trim() === "") problems.secretAccessKey = "Enter the secret access key.";
  const path = pathProblem(form.destination);
  if (path) problems.destination = path;
  return problems;
}

function endpointProblem(text: string): Problems {
  if (text.trim() === "") return { endpoint: "Enter the endpoint that the R2 page of the Cloudflare dashboard shows." };
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    return { endpoint: "Enter a whole address, such as https://ACCOUNT.r2.cloudflarestorage.com." };
  }
  if (url.pathname !== "/" || url.search !== "") {
    const bucket = url.pathname.split("/").find(Boolean);
    const where = bucket ? ` Enter "${bucket}" as the bucket below.` : "";
    return { endpoint: `The endpoint goes without a bucket: ${url.origin}.${where}` };
  }
  return {};
}

export function requestOf(form: Form): ImportRequest {
  const request: ImportRequest = {
    provider: form.provider,
    bucket: form.bucket.trim(),
    accessKeyId: form.accessKeyId.trim(),
    secretAccessKey: form.secretAccessKey.trim(),
    destination: pathFromInput(form.destination),
  };
  // An endpoint given for S3 is any other server that speaks it.
  if (form.endpoint.trim() !== "") request.endpoint = form.endpoint.trim().replace(/\/$/, "");
  if (form.provider === "s3" && form.region.trim() !== "") request.region = form.region.trim();
  if (form.prefix !== "") request.prefix = form.prefix;
  return request;
}

/** The form's field that a server's word means; null where it means none of them. */
export function fieldOf(name: string | null | undefined): keyof Form | null {
  return FIELDS.find((field) => field === name) ?? null;
}
