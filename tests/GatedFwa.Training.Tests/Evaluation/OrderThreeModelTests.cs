using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;

namespace GatedFwa.Training.Tests.Evaluation;

public sealed class OrderThreeModelTests
{
    private static readonly TokenStream Training = TokenStream.Join([.. Enumerable.Range(0, 5).Select(i => (ReadOnlyMemory<byte>)Texts.Bytes(3000, (ulong)i))]);

    [Theory]
    [InlineData("the")]
    [InlineData("e w")]
    [InlineData("zzz")]
    [InlineData("éa")]
    public void Probabilities_after_any_context_sum_to_one(string context)
    {
        var model = new OrderThreeModel(Training);
        uint gram = 0;
        foreach (byte symbol in System.Text.Encoding.UTF8.GetBytes(context)) gram = (gram << 8) | symbol;
        double sum = 0;
        for (uint symbol = 0; symbol < 256; symbol++)
        {
            double probability = model.Probability((gram << 8) | symbol);
            Assert.InRange(probability, 1e-12, 1);
            sum += probability;
        }

        Assert.InRange(sum, 1 - 1e-9, 1 + 1e-9);
    }

    [Fact]
    public void Measures_the_entropy_of_a_source_whose_entropy_is_known()
    {
        // Blocks "0aaa" or "1aaa": one fair bit in four bytes.
        string Source(int seed) => string.Concat(Enumerable.Range(0, 20_000).Select(i => $"{new GatedFwa.Tensors.CounterRandom((ulong)seed).Bits(i) & 1}aaa"));
        double measured = new OrderThreeModel(Texts.Stream(Source(1))).BitsPerByte(Texts.Stream(Source(2)));
        Assert.InRange(measured, 0.249, 0.26);
    }

    [Fact]
    public void Context_is_worth_bits()
    {
        TokenStream text = Texts.Stream(System.Text.Encoding.UTF8.GetString(Texts.Bytes(2000, 99)));
        double measured = new OrderThreeModel(Training).BitsPerByte(text);
        // Ten equally likely words of 6.4 bytes on average: 0.52 bits a byte, give or take the sample.
        Assert.InRange(measured, 0.5, 0.56);
    }

    [Fact]
    public void Counts_survive_the_growth_of_their_table()
    {
        var big = new GramCounts(16);
        for (uint i = 0; i < 100_000; i++) big.Add(i * 2_654_435_761 % 5000, 2);
        Assert.Equal(200_000, big.Entries().Sum(entry => entry.Count));
        Assert.All(big.Entries(), entry => Assert.Equal(entry.Count, big[entry.Gram]));
        Assert.Equal(0, big[5001]);
    }
}
