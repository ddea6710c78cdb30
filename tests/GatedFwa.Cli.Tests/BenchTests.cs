using System.Text.Json;

namespace GatedFwa.Cli.Tests;

public sealed class BenchTests : CommandTest
{
    [Fact]
    public void A_bench_names_the_machine_and_holds_every_figure_against_a_limit()
    {
        using JsonDocument document = JsonDocument.Parse(Succeeded(Run("bench", "gate", "--threads", "1", "--json")));
        JsonElement root = document.RootElement;

        Assert.Equal("gate", root.GetProperty("bench").GetString());
        Assert.Equal(Environment.ProcessorCount, root.GetProperty("machine").GetProperty("processors").GetInt32());
        JsonElement row = root.GetProperty("rows")[0];
        Assert.Equal(1, row.GetProperty("threads").GetInt32());
        Assert.InRange(row.GetProperty("median").GetDouble(), row.GetProperty("min").GetDouble(), row.GetProperty("max").GetDouble());
        Assert.InRange(
            row.GetProperty("share_median").GetDouble(),
            row.GetProperty("share_min").GetDouble(),
            row.GetProperty("share_max").GetDouble());
    }

    [Fact]
    public void A_device_that_is_not_there_is_not_benched() => RefusedWithOneSentence(Run("bench", "gate", "--device", "cuda:99"), "cuda:99");
}
