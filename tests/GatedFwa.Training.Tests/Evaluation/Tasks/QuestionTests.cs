using GatedFwa.Training.Evaluation.Tasks;

namespace GatedFwa.Training.Tests.Evaluation.Tasks;

/// <summary>What each task makes of a line: contexts, continuations, lengths and the right answer, letter by letter.</summary>
public sealed class QuestionTests
{
    [Fact]
    public void Lambada_splits_before_the_last_word()
    {
        Assert.Equal(new Continuation("He fed the", " goat"), Lines.Read("""{"text":"He fed the goat"}""", Lambada.Read));
        Assert.Equal(new Continuation("two  spaces ", " end"), Lines.Read("""{"text":"two  spaces  end"}""", Lambada.Read));
        Assert.Equal(new Continuation("He fed the goat", " "), Lines.Read("""{"text":"He fed the goat "}""", Lambada.Read));
        Assert.Equal(new Continuation("", " goat"), Lines.Read("""{"text":"goat"}""", Lambada.Read));
        Assert.Equal(new Continuation("said:\nthe", " goat\n"), Lines.Read("""{"text":"said:\nthe goat\n"}""", Lambada.Read));
    }

    [Fact]
    public void HellaSwag_joins_label_and_scene_and_cleans_them()
    {
        Choice choice = Lines.Read(
            """
            {"activity_label":"Baking bread ","ctx_a":" [header] How to bake [title] Mix.","ctx_b":"the BAKER",
             "endings":["kneads [substeps] it. [title] Then waits."," sings ","runs  away","[step]"],"label":"2"}
            """,
            HellaSwag.Read);
        Assert.Equal("Baking bread :  How to bake. Mix. The baker", choice.Choices[0].Context);
        Assert.Equal([" kneads it.. Then waits.", " sings", " runs away", " "], choice.Choices.Select(option => option.Text));
        Assert.Equal([23, 5, 9, 0], choice.Characters);
        Assert.Equal(2, choice.Gold);
    }

    [Theory]
    [InlineData("  a  b ", "a b")]
    [InlineData("a    b", "a  b")] // Each pair of spaces once, from the left.
    [InlineData("one [title] two", "one. two")]
    [InlineData("[a [b] c]", " c]")]
    [InlineData("x [two\nlines] y", "x [two\nlines] y")]
    public void HellaSwag_cleans_as_its_authors_do(string text, string expected) => Assert.Equal(expected, HellaSwag.Clean(text));

    [Fact]
    public void Piqa_asks_for_the_way_to_a_goal()
    {
        Choice choice = Lines.Read("""{"goal":"Dry wet shoes","sol1":"Fill them.","sol2":"Drown them.","label":1,"id":7}""", Piqa.Read);
        AssertChoices(choice, "Question: Dry wet shoes\nAnswer:", 1, " Fill them.", " Drown them.");
        Assert.Equal([10, 11], choice.Characters);
    }

    [Theory]
    [InlineData("""["A","B","C"]""", "B")]
    [InlineData("""["1","2","3"]""", "2")]
    public void Arc_finds_the_key_among_letters_or_numbers(string labels, string key)
    {
        Choice choice = Lines.Read(
            $$"""{"question":"What melts?","choices":{"text":["Rock","Ice 😀","Air"],"label":{{labels}}},"answerKey":"{{key}}"}""",
            Arc.Read);
        AssertChoices(choice, "Question: What melts?\nAnswer:", 1, " Rock", " Ice 😀", " Air");
        Assert.Equal([4, 5, 3], choice.Characters); // Characters, not UTF-16 units and not bytes.
    }

    [Fact]
    public void OpenBookQa_takes_the_bare_stem()
    {
        Choice choice = Lines.Read(
            """{"question_stem":"Bees need","choices":{"text":["stones","flowers"],"label":["A","B"]},"answerKey":" B"}""",
            OpenBookQa.Read);
        AssertChoices(choice, "Bees need", 1, " stones", " flowers");
    }

    [Fact]
    public void WinoGrande_scores_the_rest_of_the_sentence_after_each_name()
    {
        Choice choice = Lines.Read(
            """{"sentence":"Ann thanked Eve because _  had helped _. ","option1":"Ann","option2":"Eve","answer":"2"}""",
            WinoGrande.Read);
        Assert.Equal(["Ann thanked Eve because Ann", "Ann thanked Eve because Eve"], choice.Choices.Select(option => option.Context));
        Assert.All(choice.Choices, option => Assert.Equal(" had helped _.", option.Text));
        Assert.Equal(1, choice.Gold);
    }

    [Theory]
    [InlineData("0", 0)]
    [InlineData("1", 1)]
    [InlineData("true", 1)]
    [InlineData("false", 0)]
    public void BoolQ_answers_no_or_yes(string label, int gold)
    {
        Choice choice = Lines.Read($$"""{"passage":"Cats purr.","question":"do cats purr","label":{{label}}}""", BoolQ.Read);
        AssertChoices(choice, "Cats purr.\nQuestion: do cats purr?\nAnswer:", gold, " no", " yes");
    }

    [Theory]
    [InlineData("cause", "The vase broke because")]
    [InlineData("effect", "The vase broke therefore")]
    public void Copa_joins_premise_and_choice_with_two_spaces(string question, string context)
    {
        Choice choice = Lines.Read(
            $$"""{"premise":" The vase broke. ","choice1":"It fell.","choice2":"I slept.","question":"{{question}}","label":0}""",
            Copa.Read);
        AssertChoices(choice, context, 0, "  it fell.", "  i slept.");
        Assert.Equal([9, 9], choice.Characters);
    }

    [Fact]
    public void SciQ_puts_the_right_answer_last()
    {
        Choice choice = Lines.Read(
            """
            {"support":" Iron rusts.","question":"What rusts?",
             "distractor1":"gold","distractor2":"glass","distractor3":"air","correct_answer":"iron"}
            """,
            SciQ.Read);
        AssertChoices(choice, "Iron rusts.\nQuestion: What rusts?\nAnswer:", 3, " gold", " glass", " air", " iron");
    }

    private static void AssertChoices(Choice choice, string context, int gold, params string[] continuations)
    {
        Assert.Equal(continuations.Select(text => new Continuation(context, text)), choice.Choices);
        Assert.Equal(gold, choice.Gold);
    }
}
