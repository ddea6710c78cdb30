using System.Diagnostics;

namespace GatedFwa.Cli.Tests;

/// <summary>What <c>train</c> cannot do, said in one sentence before anything is written.</summary>
public sealed class TrainRefusalTests : CommandTest
{
    public TrainRefusalTests() => TinyRun.WriteCorpus(Folder);

    [Fact]
    public void A_missing_file_is_named()
    {
        Refused(["--data", "missing.txt"], "missing.txt");
        Assert.False(Directory.Exists(InFolder("run")));
    }

    [Fact]
    public void An_empty_file_is_named()
    {
        File.WriteAllText(InFolder("empty.txt"), "");
        Refused(["--data", "empty.txt"], "empty.txt");
    }

    [Fact]
    public void A_binary_file_is_named()
    {
        File.WriteAllBytes(InFolder("binary.txt"), [1, 2, 0, 3, 0, 255]);
        Refused(["--data", "binary.txt"], "binary.txt");
    }

    [Fact]
    public void A_file_in_another_encoding_is_named()
    {
        File.WriteAllBytes(InFolder("latin1.txt"), [0x63, 0x61, 0x66, 0xE9, 0x20, 0x61, 0x75]);
        Refused(["--data", "latin1.txt"], "latin1.txt", "UTF-8");
    }

    [Fact]
    public void A_pattern_that_matches_nothing_is_named() => Refused(["--data", "*.nothing"], "*.nothing");

    [Fact]
    public void A_text_shorter_than_a_context_is_refused()
    {
        File.WriteAllText(InFolder("short.txt"), "Too short.");
        Refused(["--data", "short.txt", "--context", "512"], "512");
    }

    [Theory]
    [InlineData("--width", "40", "--heads", "2")] // a head size of 20
    [InlineData("--width", "600", "--heads", "1")] // a head size of 600
    [InlineData("--width", "64", "--heads", "3")]
    [InlineData("--heads", "3", "--key-heads", "2")]
    [InlineData("--block-size", "32")] // no blocks without --native-sparse on
    [InlineData("--native-sparse", "off", "--block-count", "4")]
    [InlineData("--dropout", "1.5")]
    [InlineData("--lr", "-1")]
    [InlineData("--lr", "NaN")]
    public void A_setting_that_makes_no_model_or_no_training_is_refused(params string[] settings) =>
        Refused(["--data", TinyRun.Corpus, .. settings]);

    [Theory]
    [InlineData("--width", "65536", "--heads", "256", "--layers", "64")]
    [InlineData("--batch", "65536", "--context", "256", "--layers", "512")]
    public void What_cannot_fit_into_memory_is_refused_before_the_system_kills_it(params string[] settings) =>
        Refused(["--data", TinyRun.Corpus, .. settings], "memory");

    [Fact]
    public void A_device_that_is_not_there_is_never_replaced_by_another() =>
        Refused(["--data", TinyRun.Corpus, "--device", "cuda:99"], "cuda:99");

    [Fact]
    public void A_precision_that_the_CPU_does_not_have_is_refused() => Refused(["--data", TinyRun.Corpus, "--dtype", "bf16"], "--dtype bf16", "f32");

    [Fact]
    public void A_run_is_never_overwritten()
    {
        Succeeded(Run(TinyRun.Train("run", steps: 2)));
        byte[] before = File.ReadAllBytes(InFolder("run", "model.safetensors"));

        RefusedWithOneSentence(Run(TinyRun.Train("run", steps: 3)), "run", "--resume", "--output");
        Assert.Equal(before, File.ReadAllBytes(InFolder("run", "model.safetensors")));
    }

    [Fact]
    public void There_must_be_a_run_to_resume() => RefusedWithOneSentence(Run("train", "--resume", "--output", "nowhere"), "nowhere");

    [Theory]
    [InlineData("--window", "4")]
    [InlineData("--gate", "off")]
    [InlineData("--steps", "9")]
    [InlineData("--seed", "5")]
    [InlineData("--preset", "small")]
    public void A_run_is_not_resumed_with_other_settings(string option, string value)
    {
        Succeeded(Run(TinyRun.Train("run", steps: 2)));

        RefusedAfterReading(Run("train", "--resume", "--output", "run", option, value), "run");
    }

    [Fact]
    public void A_run_is_not_resumed_with_another_text()
    {
        Succeeded(Run(TinyRun.Train("run", steps: 2)));
        File.AppendAllText(InFolder(TinyRun.Corpus), "And something else. ");

        RefusedAfterReading(Run("train", "--resume", "--output", "run"), "text");
    }

    [Fact]
    public void A_place_that_cannot_be_written_is_one_sentence()
    {
        File.WriteAllText(InFolder("file"), "not a folder");
        RefusedAfterReading(Run(TinyRun.Train("file/run", steps: 2)), "file/run");
    }

    [Fact]
    public void A_read_only_folder_is_one_sentence() => OnDisk("ro", () =>
        RefusedAfterReading(Run(TinyRun.Train("disk/run", steps: 2)), "disk/run"));

    [Fact]
    public void A_full_disk_is_one_sentence_and_leaves_no_half_written_file() => OnDisk("size=64k", () =>
    {
        RefusedAfterReading(Run(TinyRun.Train("disk/run", steps: 50, "--save-every", "0.01")), "full");
        Assert.Empty(Directory.GetFiles(InFolder("disk"), "*.partial", SearchOption.AllDirectories));
    });

    /// <summary>Runs with a small disk of that kind in the folder <c>disk</c>.</summary>
    private void OnDisk(string options, Action body)
    {
        string disk = Directory.CreateDirectory(InFolder("disk")).FullName;
        Assert.SkipUnless(
            OperatingSystem.IsLinux() && Shell("mount", "-t", "tmpfs", "-o", options, "tmpfs", disk),
            "Only root on Linux can mount a disk of its own.");
        try
        {
            body();
        }
        finally
        {
            Shell("umount", disk);
        }
    }

    private static bool Shell(string command, params string[] arguments)
    {
        if (OperatingSystem.IsWindows()) return false;
        using var process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardError = true });
        process!.WaitForExit();
        return process.ExitCode == 0;
    }

    /// <summary>Remarks about the text may come first; the last line is the sentence.</summary>
    private static void RefusedAfterReading(CommandResult result, params string[] words)
    {
        string last = result.Error.TrimEnd().Split('\n')[^1];
        RefusedWithOneSentence(result with { Error = last }, words);
    }

    private void Refused(string[] arguments, params string[] words) =>
        RefusedAfterReading(Run(["train", "--output", "run", "--steps", "2", .. arguments]), words);
}
