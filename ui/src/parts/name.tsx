/** A file's name as it is, and nothing more than a name: isolated from the text around it, hidden characters made visible. */

import { nameParts, shownName } from "../lib/names";
import { type Path, segments } from "../lib/paths";

export function Name({ segment }: { segment: string }) {
  let at = 0;
  return (
    <bdi className="name" title={shownName(segment)}>
      {nameParts(segment).map((part) => {
        at += part.text.length;
        return part.odd ? (
          <span key={at} className="odd">
            {part.text}
          </span>
        ) : (
          part.text
        );
      })}
    </bdi>
  );
}

export function PathText({ path }: { path: Path }) {
  let at = 0;
  return (
    <span className="path">
      {segments(path).length === 0 && "/"}
      {segments(path).map((segment) => {
        at += segment.length + 1;
        return (
          <span key={at}>
            /<Name segment={segment} />
          </span>
        );
      })}
    </span>
  );
}
