/** Reads a stream of JSON lines as they come; a search shows what it found before it ends. */

export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<unknown> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const parts = rest.split("\n");
      rest = done ? "" : (parts.pop() ?? "");
      for (const part of parts) if (part.trim() !== "") yield JSON.parse(part);
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
