import { useState } from "react";
import { type Problem, problemOf } from "../api/problem.ts";
import { useChosen, useConnections, useSchema } from "../connections/directory.ts";
import { ConnectionPicker } from "../connections/picker.tsx";
import { Link, useLocation } from "../lib/router.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { Nothing, Waiting } from "../parts/small.tsx";
import { ask, DEFAULT_OPTIONS } from "../run/ask.ts";
import { examplesFor } from "../run/examples.ts";
import { RunList } from "../run/list.tsx";
import { QuestionBox } from "../run/question.tsx";

/** Where questions are asked. */
export function AskPage() {
  const { query } = useLocation();
  const { value: all, problem, loading, reload } = useConnections();
  const [chosen, choose] = useChosen(all);
  const [options, setOptions] = useState(DEFAULT_OPTIONS);
  if (problem && !all) return <ProblemBox problem={problem} onRetry={reload} />;
  if (!all) return loading ? <Waiting>Loading databases</Waiting> : null;
  if (!chosen) {
    return (
      <Nothing>
        <h1>Chat with your database</h1>
        <p>No database is connected yet.</p>
        <Link to="/connections/new" className="button primary">Connect a database</Link>
      </Nothing>
    );
  }
  return (
    <div className="ask">
      <h1>What do you want to know?</h1>
      <QuestionBox key={query.get("question") ?? ""} first label="Ask a question in plain words" connectionId={chosen.id}
        initial={query.get("question") ?? ""} options={options} onOptions={setOptions}>
        <ConnectionPicker all={all} chosen={chosen.id} onChoose={choose} />
      </QuestionBox>
      <Examples key={chosen.id} connectionId={chosen.id} onAsk={(question) => ask(question, chosen.id, options)} />
      <section className="recent" aria-label="Recent questions">
        <RunList filter={{}} limit={6} heading="Recent questions" />
      </section>
    </div>
  );
}

function Examples({ connectionId, onAsk }: { connectionId: string; onAsk: (question: string) => Promise<void> }) {
  const { value: tables, problem } = useSchema(connectionId);
  const [refused, setRefused] = useState<Problem>();
  const examples = tables ? examplesFor(tables) : [];
  if (problem) return <ProblemBox problem={problem} />;
  return (
    <div className="examples" role="group" aria-label="Examples that fit this database">
      {examples.map((question) => (
        <button key={question} type="button" className="example"
          onClick={() => onAsk(question).catch((error: unknown) => setRefused(problemOf(error)))}>
          {question}
        </button>
      ))}
      {tables?.length === 0 && <p className="dim">This database has no tables yet.</p>}
      {refused && <ProblemBox problem={refused} />}
    </div>
  );
}
