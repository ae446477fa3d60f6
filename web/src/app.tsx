import { lazy, Suspense, useEffect, useState } from "react";
import { useKey } from "./api/key.ts";
import { KeyDialog } from "./api/key_dialog.tsx";
import { kept, keep } from "./lib/kept.ts";
import { Link, useLocation } from "./lib/router.tsx";
import { Nothing, Waiting } from "./parts/small.tsx";
import { AskPage } from "./pages/ask.tsx";
import { ConnectionPage, ConnectionsPage, NewConnectionPage } from "./pages/connections.tsx";
import { HistoryPage } from "./pages/history.tsx";
import { KnowledgePage } from "./pages/knowledge.tsx";
import { RunPage } from "./pages/run.tsx";
import { SqlPage } from "./pages/sql.tsx";
import { StatusPage } from "./pages/status.tsx";

/** The contract weighs something; it comes when it is asked for. */
const DocsPage = lazy(() => import("./pages/docs.tsx"));

const PLACES = [
  { to: "/", name: "Ask", holds: (path: string) => path === "/" || path.startsWith("/runs/") },
  { to: "/history", name: "History", holds: (path: string) => path === "/history" },
  { to: "/sql", name: "SQL", holds: (path: string) => path === "/sql" },
  { to: "/connections", name: "Connections", holds: (path: string) => path.startsWith("/connections") },
  { to: "/status", name: "Status", holds: (path: string) => path === "/status" },
  { to: "/docs", name: "API", holds: (path: string) => path === "/docs" || path.startsWith("/docs/") },
];

/** The frame around every page. */
export function App() {
  const { path } = useLocation();
  const { wanted, generation } = useKey();
  useEffect(() => {
    const place = PLACES.find(({ holds }) => holds(path));
    document.title = place && place.to !== "/" ? `${place.name} · Pulse` : "Pulse";
  }, [path]);
  return (
    <>
      <a className="skip" href="#main">To the content</a>
      <header className="top">
        <Link to="/" className="brand"><img src="/icon.svg" alt="" width={22} height={22} /> Pulse</Link>
        <nav aria-label="Pages">
          {PLACES.map(({ to, name, holds }) => (
            <Link key={to} to={to} aria-current={holds(path) ? "page" : undefined}>{name}</Link>
          ))}
        </nav>
        <ThemeSwitch />
      </header>
      {/* A new key is a new caller: what was loaded before is not theirs. */}
      <main id="main" key={`${generation}`} tabIndex={-1}><Page path={path} /></main>
      {wanted && <KeyDialog />}
    </>
  );
}

function Page({ path }: { path: string }) {
  const [, place = "", id = "", name = ""] = path.split("/");
  switch (place) {
    case "": return <AskPage />;
    case "history": return <HistoryPage />;
    case "runs": return <RunPage key={id} id={id} />;
    case "sql": return <SqlPage />;
    case "status": return <StatusPage />;
    case "docs": return <Suspense fallback={<Waiting>Loading</Waiting>}><DocsPage place={id} name={name} /></Suspense>;
    case "connections":
      if (!id) return <ConnectionsPage />;
      if (name === "knowledge") return <KnowledgePage key={id} id={id} />;
      return id === "new" ? <NewConnectionPage /> : <ConnectionPage key={id} id={id} />;
    default: return <Nothing><h1>There is no such page</h1><Link to="/">Ask a question</Link></Nothing>;
  }
}

type Theme = "system" | "light" | "dark";

/** How each choice of colours is marked, and which one comes next. */
const MARKS: Record<Theme, [string, Theme]> = { system: ["◐", "light"], light: ["○", "dark"], dark: ["●", "system"] };

function ThemeSwitch() {
  const [theme, setTheme] = useState<Theme>(() => {
    const before = kept<string>("theme", "system");
    return before in MARKS ? (before as Theme) : "system";
  });
  useEffect(() => {
    keep("theme", theme);
    if (theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
  }, [theme]);
  const [mark, next] = MARKS[theme];
  return (
    <button type="button" className="theme quiet" title={`Colours: ${theme}`} aria-label={`Colours: ${theme}`} onClick={() => setTheme(next)}>
      {mark}
    </button>
  );
}
