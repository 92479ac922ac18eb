/** The way from the root to a folder. As links where it is the page's own place, as buttons within a dialog. */

import { join, segments } from "../../lib/paths";
import { Name } from "../../parts/name";

interface Props {
  label: string;
  root: string;
  path: string;
  hrefOf?: (path: string) => string;
  onPath?: (path: string) => void;
}

export function Crumbs({ label, root, path, hrefOf, onPath }: Props) {
  const names = segments(path);
  const paths = names.map((_, at) => names.slice(0, at + 1).reduce(join, ""));
  const crumb = (to: string, segment: string | null, last: boolean) => {
    const text = segment === null ? <bdi>{root}</bdi> : <Name segment={segment} />;
    if (last && hrefOf) return <span aria-current="page">{text}</span>;
    if (hrefOf) return <a href={hrefOf(to)}>{text}</a>;
    return (
      <button type="button" className="quiet" aria-current={last ? "true" : undefined} onClick={() => onPath?.(to)}>
        {text}
      </button>
    );
  };
  return (
    <nav className="crumbs" aria-label={label}>
      <ol>
        <li>{crumb("", null, names.length === 0)}</li>
        {paths.map((to, at) => (
          <li key={to}>{crumb(to, names[at] ?? "", at === paths.length - 1)}</li>
        ))}
      </ol>
    </nav>
  );
}
