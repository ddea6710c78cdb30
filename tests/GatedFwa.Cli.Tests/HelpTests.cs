namespace GatedFwa.Cli.Tests;

public sealed class HelpTests : CommandTest
{
    [Theory]
    [InlineData("train")]
    [InlineData("compare")]
    [InlineData("generate")]
    [InlineData("evaluate")]
    [InlineData("inspect")]
    [InlineData("info")]
    [InlineData("attend")]
    [InlineData("bench")]
    public void Every_command_explains_itself_with_an_example(string command)
    {
        string help = Succeeded(Run(command, "--help"));

        Assert.Contains("Description:", help);
        Assert.Contains("Options:", help);
        Assert.Contains($"    gatedfwa {command}", help);
    }

    [Fact]
    public void Every_option_of_every_command_has_a_description()
    {
        foreach (string command in (string[])["train", "compare", "generate", "evaluate", "inspect", "info", "attend", "bench"])
        {
            string options = Succeeded(Run(command, "--help")).Split("Options:")[1].Split("Examples:")[0];
            foreach (string line in options.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                Assert.True(line.Trim().Contains("  ", StringComparison.Ordinal), $"{command}: {line}");
        }
    }

    [Fact]
    public void Compare_takes_no_task_and_does_not_speak_of_any()
    {
        Assert.Contains("of a task", Succeeded(Run("train", "--help")));
        Assert.DoesNotContain("of a task", Succeeded(Run("compare", "--help")));
    }

    [Fact]
    public void Without_a_command_the_help_names_all_of_them()
    {
        string help = Succeeded(Run());

        foreach (string command in (string[])["train", "compare", "generate", "evaluate", "inspect", "info", "attend", "bench"])
            Assert.Contains($"\n  {command}", help);
    }

    [Fact]
    public void The_version_is_one_line() => Assert.Matches(@"^\d+\.\d+\.\d+\S*( \(\w+\))?\r?\n$", Succeeded(Run("--version")));

    [Fact]
    public void An_unknown_command_is_a_usage_error() => RefusedAsUsage(Run("trian"), "trian");

    [Theory]
    [InlineData("train")]
    [InlineData("info")]
    [InlineData("bench")]
    [InlineData("train", "--data", "text.txt")] // a list of paths must not swallow it
    public void An_unknown_flag_is_a_usage_error(params string[] command) =>
        RefusedAsUsage(Run([.. command, "--wndow", "3"]), "--wndow", $"gatedfwa {command[0]} --help");

    [Theory]
    [InlineData("train", "--steps", "many")]
    [InlineData("train", "--window", "0")]
    [InlineData("train", "--threads", "0")]
    [InlineData("train", "--batch", "-1")]
    [InlineData("bench", "matmul", "--threads=0")]
    [InlineData("bench", "everything", "--json")]
    public void A_value_out_of_range_is_a_usage_error(params string[] arguments) => RefusedAsUsage(Run(arguments));
}
