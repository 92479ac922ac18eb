/** What went wrong, in words, and what to do about it. */

/** An answer of the gateway that is an error. `code` is "Offline" where no answer came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field: string | null = null,
  ) {
    super(message);
  }
}

export interface Words {
  what: string;
  todo: string;
}

/** For each code what to do; `what` is said only where the server's own sentence is missing. */
const WORDS: Record<string, Words> = {
  BadPath: { what: "This is no path.", todo: "Choose another name." },
  BadRequest: { what: "The request was not understood.", todo: "Correct the marked fields and try again." },
  Unauthenticated: { what: "Your login has ended.", todo: "Log in with a new token; what you were doing is kept." },
  Forbidden: {
    what: "You may not do this.",
    todo: "Ask an administrator of the workspace for the right; if it is about one file, its owner can change its mode.",
  },
  NotFound: {
    what: "There is nothing here.",
    todo: "It may have been moved or deleted: go back and load the folder again.",
  },
  Exists: {
    what: "There is already something with this name.",
    todo: "Choose another name, or replace what is there.",
  },
  NotEmpty: { what: "The folder is not empty.", todo: "Delete what is in it first." },
  IsDirectory: { what: "This is a folder.", todo: "Choose a file." },
  NotDirectory: { what: "A part of this path is a file.", todo: "Choose a folder." },
  NotRegular: { what: "This is no regular file.", todo: "Devices, sockets and pipes can be listed but not read here." },
  Conflict: { what: "Something else is changing this.", todo: "Wait a moment and try again." },
  Gone: { what: "This has expired.", todo: "Begin anew." },
  PreconditionFailed: { what: "Somebody changed this meanwhile.", todo: "Load it again and look before you go on." },
  TooLarge: { what: "This is too large.", todo: "Split it, or copy it with the command wfs." },
  RangeNotSatisfiable: { what: "The file became shorter.", todo: "Load the folder again." },
  Busy: { what: "Too much is going on at once.", todo: "Wait a moment and try again." },
  ChecksumMismatch: { what: "The bytes arrived damaged.", todo: "Try again; nothing was written." },
  QuotaExceeded: {
    what: "The file system is full.",
    todo: "Delete files or empty the trash, or ask an administrator for more capacity.",
  },
  Internal: {
    what: "The server made a mistake.",
    todo: "Try again; if it stays, tell an administrator, with the time.",
  },
  Unreachable: {
    what: "The file service of this file system does not answer.",
    todo: "It may be starting: try again in a minute. Administrators see why in the FileSystem's condition FilesReady.",
  },
  TimedOut: {
    what: "The storage server did not answer in time.",
    todo: "Try again; if it stays, look at the file system's health.",
  },
  Offline: { what: "The dashboard cannot be reached.", todo: "Check your connection, then try again." },
};

export function explain(error: unknown): Words {
  if (!(error instanceof ApiError)) {
    const what = error instanceof Error ? error.message : String(error);
    return { what, todo: "Load the page again; if it stays, tell an administrator." };
  }
  const words = WORDS[error.code] ?? { what: `The server answered ${error.status}.`, todo: "Try again." };
  return { what: sentence(error.message || words.what), todo: words.todo };
}

export function inOneLine(error: unknown): string {
  const { what, todo } = explain(error);
  return `${what} ${todo}`;
}

const PASSING = [
  "Offline",
  "Unreachable",
  "TimedOut",
  "Busy",
  // Of an upload: a request that was given up is not over yet for the server, which may be behind by what is on the way.
  "Conflict",
  "Internal",
  "Unauthenticated",
  "ChecksumMismatch",
];

/** Whether trying the same again may help without anybody doing something first. */
export function mayPass(error: unknown): boolean {
  return error instanceof ApiError && PASSING.includes(error.code);
}

/** The error that an answer's body describes; a proxy in between may have answered in a form of its own. */
export function errorOf(status: number, body: string): ApiError {
  try {
    const json = JSON.parse(body) as { code?: unknown; message?: unknown; field?: unknown };
    if (typeof json.code === "string") {
      const field = typeof json.field === "string" ? json.field : null;
      return new ApiError(status, json.code, typeof json.message === "string" ? json.message : "", field);
    }
  } catch {
    // no JSON: the status alone has to do
  }
  return new ApiError(status, codeOf(status), "");
}

function codeOf(status: number): string {
  const codes: Record<number, string> = {
    0: "Offline",
    400: "BadRequest",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "TooLarge",
    423: "Conflict",
    429: "Busy",
    502: "Unreachable",
    503: "Unreachable",
    504: "TimedOut",
    507: "QuotaExceeded",
  };
  return codes[status] ?? "Internal";
}

/** Servers' messages begin small, as errors of programs do; none begins with a name. */
function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
