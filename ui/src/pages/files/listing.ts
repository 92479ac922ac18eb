/** The entries of one folder, page after page, and those that a search finds. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import type { Files } from "../../api/files";
import type { Entry } from "../../api/types";

/** The server sorts up to here; larger folders come in its own order, and more of them only when asked for. */
const BY_ITSELF_ENTRIES = 50_000;

export interface Listing {
  entries: Entry[];
  /** Whether the order may be chosen: not while the folder is too large for the server to sort. */
  sortable: boolean;
  pending: boolean;
  error: unknown;
  /** More entries are coming by themselves. */
  loading: boolean;
  more: (() => void) | null;
  reload: () => void;
}

export function useListing(files: Files, path: string): Listing {
  const query = useInfiniteQuery({
    queryKey: ["list", files.ws, files.fs, path],
    queryFn: ({ pageParam, signal }) => files.list(path, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
  const { data, hasNextPage, isFetching, isError, fetchNextPage } = query;
  const entries = useMemo(() => unique(data?.pages.flatMap((page) => page.entries) ?? []), [data]);
  const onward = hasNextPage && !isError && entries.length < BY_ITSELF_ENTRIES;
  useEffect(() => {
    if (onward && !isFetching) void fetchNextPage();
  }, [onward, isFetching, fetchNextPage]);
  return {
    entries,
    sortable: data?.pages.every((page) => page.sorted) ?? true,
    pending: query.isPending,
    error: query.error,
    loading: onward,
    more: hasNextPage && !onward ? () => void fetchNextPage() : null,
    reload: () => void query.refetch(),
  };
}

/** What is renamed between two pages may come twice. */
function unique(entries: Entry[]): Entry[] {
  const seen = new Set<string>();
  return entries.filter((entry) => !seen.has(entry.path) && seen.add(entry.path));
}

export interface Found {
  entries: Entry[];
  running: boolean;
  limited: boolean;
  error: unknown;
}

const WAIT_MS = 300;
const SHOW_MS = 150;

/** Searches below `path` once the typing rests; null while nothing is searched for. */
export function useSearch(files: Files, path: string, text: string): Found | null {
  const [found, setFound] = useState<Found | null>(null);
  useEffect(() => {
    if (text.trim() === "") return setFound(null);
    const stop = new AbortController();
    // What comes late is of a search that nobody looks at any more.
    const show = (now: Found) => stop.signal.aborted || setFound(now);
    const timer = setTimeout(() => void follow(files, path, text.trim(), stop.signal, show), WAIT_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [files, path, text]);
  return found;
}

async function follow(files: Files, path: string, text: string, stop: AbortSignal, show: (found: Found) => unknown) {
  const entries: Entry[] = [];
  let limited = false;
  let shownAt = 0;
  show({ entries: [], running: true, limited, error: null });
  try {
    for await (const line of files.search(path, text, stop)) {
      if ("limited" in line) limited = line.limited;
      else entries.push(line);
      // A search may find thousands of names a second; the table is drawn a few times.
      if (Date.now() - shownAt < SHOW_MS) continue;
      shownAt = Date.now();
      show({ entries: [...entries], running: true, limited, error: null });
    }
    show({ entries, running: false, limited, error: null });
  } catch (error) {
    show({ entries, running: false, limited, error });
  }
}
