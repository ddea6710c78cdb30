using System.Diagnostics;
using GatedFwa.Testing;
using GatedFwa.Training.Data;

namespace GatedFwa.Training.Tests.Runs;

/// <summary>However a run is interrupted, what it leaves in the end is bit for bit what it would have left.</summary>
public sealed class ResumeTests : TensorTest
{
    private readonly TemporaryFolder _folder = new();

    protected override void Cleanup() => _folder.Dispose();

    [Fact]
    public void Interrupting_and_resuming_at_every_step_changes_nothing()
    {
        string expected = Uninterrupted();
        TrainerOptions options = TinyRun.Options(_folder["run"]);
        using (Trainer trainer = Trainer.Start(TinyRun.Model, options, TinyRun.Data)) Assert.False(TinyRun.Interrupt(trainer, 1).Completed);
        for (int step = 2; step <= options.Steps; step++)
        {
            using Trainer trainer = Trainer.Resume(TinyRun.Model, options, TinyRun.Data);
            Assert.Equal(step - 1, trainer.Step);
            TinyRun.Interrupt(trainer, step);
        }

        Assert.Equal(expected, TinyRun.Signature(_folder["run"]));
    }

    [Fact]
    public void Checkpoints_by_the_clock_change_nothing()
    {
        string expected = Uninterrupted();
        TrainerOptions options = TinyRun.Options(_folder["run"]) with { CheckpointSteps = 0, CheckpointSeconds = 1e-6 };
        using (Trainer trainer = Trainer.Start(TinyRun.Model, options, TinyRun.Data)) TinyRun.Interrupt(trainer, 7);
        TinyRun.Finish(options with { CheckpointSeconds = 1000 }, resume: true);
        Assert.Equal(expected, TinyRun.Signature(_folder["run"]));
    }

    [Fact]
    public void A_kill_between_any_two_operations_on_files_leaves_a_run_that_resumes_exactly()
    {
        string expected = Uninterrupted();
        TrainerOptions options = TinyRun.Options(_folder["run"]);
        using (Trainer trainer = Trainer.Start(TinyRun.Model, options, TinyRun.Data)) TinyRun.Interrupt(trainer, 4);
        Copy(_folder["run"], _folder["older"]);
        using (Trainer trainer = Trainer.Resume(TinyRun.Model, options, TinyRun.Data)) TinyRun.Interrupt(trainer, 8);

        // The order in which the first checkpoint makes its files and every other replaces them, but for the two that never
        // change; each is one rename of what was written beside.
        string[] order =
            ["training_state.safetensors", "config.json", "tokenizer.json", "model.safetensors", "training_state.json", "loss.svg"];
        Assert.Equal(
            order.Append("metrics.jsonl").Order(),
            Directory.GetFiles(_folder["run"]).Select(file => Path.GetFileName(file)).Order());
        for (int replaced = 0; replaced <= order.Length; replaced++)
        {
            string killed = _folder[$"killed after {replaced}"];
            Copy(_folder["older"], killed);
            foreach (string file in order[..replaced].Append("metrics.jsonl"))
                File.Copy(Path.Combine(_folder["run"], file), Path.Combine(killed, file), overwrite: true);
            if (replaced < order.Length) File.WriteAllBytes(Path.Combine(killed, order[replaced] + ".partial"), [1, 2, 3]);
            File.AppendAllText(Path.Combine(killed, "metrics.jsonl"), "{\"step\":9,\"lo");

            using (Trainer trainer = Trainer.Resume(TinyRun.Model, options with { Output = killed }, TinyRun.Data))
            {
                Assert.Equal(replaced == 0 ? 4 : 8, trainer.Step);
                trainer.Run();
            }

            Assert.Equal(expected, TinyRun.Signature(killed));
            Assert.Empty(Directory.GetFiles(killed, "*.partial"));
        }
    }

    [Fact]
    public void A_process_killed_at_any_moment_and_resumed_ends_with_the_same_bits()
    {
        TrainerOptions options = KilledProcess.Options(_folder["killed"]);
        TinyRun.Finish(options with { Output = _folder["whole"] }, resume: false);

        var random = new Random(1);
        int kills = 0;
        while (!RunProcess(options.Output, killAfter: kills < 4 ? random.Next(1, 14) : int.MaxValue)) kills++;
        Assert.Equal(4, kills);
        Assert.Equal(TinyRun.Signature(_folder["whole"]), TinyRun.Signature(_folder["killed"]));
    }

    [Fact]
    public void Nobody_else_touches_a_run_while_it_is_trained()
    {
        string expected = Uninterrupted();
        TrainerOptions options = TinyRun.Options(_folder["run"]);
        using (Trainer trainer = Trainer.Start(TinyRun.Model, options, TinyRun.Data))
        {
            string message = Assert.Throws<InputException>(() => Trainer.Resume(TinyRun.Model, options, TinyRun.Data)).Message;
            Assert.Contains("is being trained at this moment; wait", message, StringComparison.Ordinal);
            trainer.Run();
        }

        Assert.Equal(expected, TinyRun.Signature(_folder["run"]));
        Trainer.Resume(TinyRun.Model, options, TinyRun.Data).Dispose();
        Assert.False(File.Exists(_folder["run/run.lock"]));
    }

    [Fact]
    public void A_run_that_has_only_begun_keeps_no_numbers_and_resumes_exactly()
    {
        string expected = Uninterrupted();
        TrainerOptions options = TinyRun.Options(_folder["run"]);
        Trainer.Start(TinyRun.Model, options, TinyRun.Data).Dispose();
        Trainer.Resume(TinyRun.Model, options, TinyRun.Data).Dispose();
        Assert.Equal(
            ["config.json", "metrics.jsonl", "tokenizer.json", "training_state.json", "training_state.safetensors"],
            Directory.GetFiles(_folder["run"]).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.InRange(new FileInfo(_folder["run/training_state.safetensors"]).Length, 0, 4000);
        TinyRun.Finish(options, resume: true);
        Assert.Equal(expected, TinyRun.Signature(_folder["run"]));
    }

    [Fact]
    public void A_finished_run_has_nothing_left_to_do()
    {
        string expected = Uninterrupted();
        Assert.True(Trainer.HasRun(_folder["whole"]));
        Assert.False(Trainer.HasRun(_folder["nowhere"]));
        Assert.True(TinyRun.Finish(TinyRun.Options(_folder["whole"]), resume: true).Completed);
        Assert.Equal(expected, TinyRun.Signature(_folder["whole"]));
    }

    [Fact]
    public void The_settings_of_a_run_can_be_read_to_resume_it()
    {
        Uninterrupted();
        (Models.ModelConfig model, TrainerOptions options) = Trainer.ReadSettings(_folder["whole"]);
        Assert.Equal(TinyRun.Model, model);
        Assert.Equal(TinyRun.Options(_folder["whole"]) with { Data = options.Data }, options);
    }

    [Fact]
    public void A_run_that_names_very_many_files_can_be_resumed()
    {
        string[] paths = [.. Enumerable.Range(0, 20_000).Select(i => $"a/shell/made/this/of/a/pattern/text-number-{i:D8}.txt")];
        TrainerOptions options = TinyRun.Options(_folder["run"]) with { Data = paths };
        Trainer.Start(TinyRun.Model, options, TinyRun.Data).Dispose();
        Assert.Equal(paths, Trainer.ReadSettings(_folder["run"]).Options.Data);
    }

    [Fact]
    public void Other_settings_or_another_text_are_refused_in_a_sentence()
    {
        Uninterrupted();
        TrainerOptions options = TinyRun.Options(_folder["whole"]);
        string Refusal(Models.ModelConfig model, TrainerOptions asked, DocumentSplit data) =>
            Assert.Throws<InputException>(() => Trainer.Resume(model, asked, data).Dispose()).Message;
        Assert.Contains(
            "learning_rate 0.01, not 0.02;",
            Refusal(TinyRun.Model, options with { LearningRate = 0.02 }, TinyRun.Data),
            StringComparison.Ordinal);
        Assert.Contains("width 16, not 32;", Refusal(TinyRun.Model with { Width = 32 }, options, TinyRun.Data), StringComparison.Ordinal);
        DocumentSplit other = DocumentSplit.Of([.. Enumerable.Range(0, 40).Select(i => Texts.Document(60, (ulong)i + 1))], seed: 0);
        Assert.Contains("another text;", Refusal(TinyRun.Model, options, other), StringComparison.Ordinal);
        Assert.Contains(
            "no run to resume",
            Refusal(TinyRun.Model, options with { Output = _folder["nowhere"] }, TinyRun.Data),
            StringComparison.Ordinal);
        Assert.Contains(
            "holds a run already",
            Assert.Throws<InputException>(() => Trainer.Start(TinyRun.Model, options, TinyRun.Data)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Damaged_files_of_a_run_are_refused_in_a_sentence()
    {
        Uninterrupted();
        TrainerOptions options = TinyRun.Options(_folder["whole"]);
        void AssertRefused() => Assert.Throws<InputException>(() => Trainer.Resume(TinyRun.Model, options, TinyRun.Data).Dispose());

        byte[] metrics = File.ReadAllBytes(_folder["whole/metrics.jsonl"]);
        File.WriteAllBytes(_folder["whole/metrics.jsonl"], metrics[..^5]);
        AssertRefused();
        metrics[3] = (byte)'x';
        File.WriteAllBytes(_folder["whole/metrics.jsonl"], metrics);
        AssertRefused();

        byte[] state = File.ReadAllBytes(_folder["whole/training_state.safetensors"]);
        File.WriteAllBytes(_folder["whole/training_state.safetensors"], state[..^5]);
        AssertRefused();
        state[^100] ^= 1;
        File.WriteAllBytes(_folder["whole/training_state.safetensors"], state);
        AssertRefused();
        File.Copy(_folder["whole/model.safetensors"], _folder["whole/training_state.safetensors"], overwrite: true);
        AssertRefused();
    }

    private string Uninterrupted()
    {
        TinyRun.Finish(TinyRun.Options(_folder["whole"]), resume: false);
        return TinyRun.Signature(_folder["whole"]);
    }

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.GetFiles(from)) File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
    }

    /// <summary>Trains in a process of its own and kills it after some steps.</summary>
    /// <returns>Whether it came to its end.</returns>
    private static bool RunProcess(string output, int killAfter)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true };
        start.Environment[KilledProcess.Variable] = output;
        using Process process = Process.Start(start)!;
        for (int steps = 0; process.StandardOutput.ReadLine() is not null;)
        {
            if (++steps < killAfter) continue;
            process.Kill();
            break;
        }

        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
