/** A state as a word with a coloured dot; the colour only repeats what the word says. */

export function Health({ health, message }: { health: string; message?: string }) {
  const words: Record<string, string> = { Ready: "Ready", NotReady: "Not ready", Unknown: "Unknown" };
  const kind = health === "Ready" ? "good" : health === "NotReady" ? "bad" : "unsure";
  return (
    <span className="health">
      <span className={`dot ${kind}`} aria-hidden="true" />
      {words[health] ?? health}
      {message && <small className="health-message">{message}</small>}
    </span>
  );
}
